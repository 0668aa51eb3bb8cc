// Escape closes the card of a term, which may lie over the text that is read
addEventListener("keydown", (event) => {
  if (event.key === "Escape")
    document.querySelectorAll("[aria-describedby^=tooltip]").forEach((term) => {
      document.getElementById(term.getAttribute("aria-describedby"))?.remove()
      term.removeAttribute("aria-describedby")
    })
})
