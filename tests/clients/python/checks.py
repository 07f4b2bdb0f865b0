"""What every Python driver shares: one line per check."""

import sys
from dataclasses import dataclass, field


@dataclass
class Checks:
    """Prints `ok NAME` or `FAIL NAME why`, and remembers whether anything failed."""

    prefix: str = ""
    failed: list[str] = field(default_factory=list)

    def that(self, name: str, holds: bool, why: object = "") -> None:
        name = f"{self.prefix}{name}"
        if holds:
            print(f"ok {name}", flush=True)
        else:
            self.failed.append(name)
            print(f"FAIL {name} {why}", flush=True)

    def exit(self) -> None:
        sys.exit(1 if self.failed else 0)
