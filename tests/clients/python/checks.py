"""What every Python driver shares: one line per check, and what a result of each tool must be."""

import json
import sys
from dataclasses import dataclass, field

TOOLS = ["comms_get_messages", "comms_make_call", "comms_ping", "comms_send_message"]
# A number that no telephone has; in demo mode the simulated carrier takes what is sent there.
RECIPIENT = "+14155550123"


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


@dataclass
class Result:
    """A tool result, whichever version of the package it came from."""

    is_error: bool
    structured: dict | None
    text: str


async def drive(checks: Checks, server_name: str, tools: list[str], call) -> None:
    """The same visit in every era: `call(tool, arguments)` gives a `Result`."""
    checks.that("server", server_name == "comms-mcp", server_name)
    checks.that("tools", sorted(tools) == TOOLS, tools)

    pong = await call("comms_ping", {"message": "hello"})
    checks.that("ping", not pong.is_error and pong.structured["echo"] == "hello", pong)
    checks.that("ping text", not pong.is_error and json.loads(pong.text) == pong.structured, pong)

    message = {"to": RECIPIENT, "body": f"hello from {checks.prefix}", "idempotencyKey": f"driver-{checks.prefix}"}
    sent = await call("comms_send_message", message)
    checks.that("send", not sent.is_error and bool(sent.structured.get("messageId")), sent)
    again = await call("comms_send_message", message)
    same = not again.is_error and again.structured["messageId"] == sent.structured["messageId"]
    checks.that("send again with the same key", same, again)

    wrong = await call("comms_send_message", {"to": RECIPIENT, "body": "b", "colour": "red"})
    error = json.loads(wrong.text)["error"] if wrong.is_error else {}
    named = error.get("code") == "invalid_input" and "colour" in error.get("message", "")
    checks.that("wrong argument", named and wrong.structured is None, wrong)

    read = await call("comms_get_messages", {"direction": "outbound"})
    ids = [] if read.is_error else [message["id"] for message in read.structured["messages"]]
    checks.that("read", not sent.is_error and sent.structured["messageId"] in ids, read)
