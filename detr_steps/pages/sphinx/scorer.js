// Sphinx's own numbers, except that entries of the reference come after the pages
var Scorer = {
  objNameMatch: 1,
  objPartialMatch: 1,
  objPrio: { 0: 0, 1: 0, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
}
