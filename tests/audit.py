"""Known vulnerabilities of what requirements.txt pins: `make audit`.

It exits with 0 if none is known, with 1 if some are, and with 2 where it could not ask about every
package: that is no answer, and it says so.
"""

import json
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"
OPTIONS = ["--require-hashes", "--disable-pip", "--progress-spinner=off", "--format=json"]


def audit(requirements: Path = REQUIREMENTS) -> tuple[int, str]:
    """What pip-audit finds, as an exit status and lines to print."""
    command = [sys.executable, "-m", "pip_audit", *OPTIONS, "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True)
    if not done.stdout.strip():
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return 2, f"NOT AUDITED: pip-audit got no answer: {last}"
    return verdict(json.loads(done.stdout)["dependencies"])


def verdict(packages: list[dict]) -> tuple[int, str]:
    """The same from pip-audit's report: one entry a package, with `vulns` or `skip_reason`."""
    found = [
        f"{one['name']} {one['version']}: {hole['id']}, mended in "
        + (", ".join(hole["fix_versions"]) or "no version")
        for one in packages
        for hole in one.get("vulns", [])
    ]
    skipped = [one for one in packages if "skip_reason" in one]
    lines = [
        f"{len(found)} known vulnerabilities in {len(packages) - len(skipped)} packages",
        *found,
    ]
    if skipped:
        lines.append(f"NOT AUDITED: {len(skipped)} packages, as {skipped[0]['skip_reason']}")
    return 1 if found else 2 if skipped or not packages else 0, "\n".join(lines)


if __name__ == "__main__":
    status, text = audit()
    print(text)
    sys.exit(status)
