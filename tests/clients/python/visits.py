"""The visits that every Python driver pays to comms-mcp: which tools are called, and what each result must be.

`visits.mjs` is the same for the other client library.
"""

import json
import os
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import jsonschema
from checks import Checks

TOOLS = [
    "comms_deprovision_channels",
    "comms_get_billing_summary",
    "comms_get_channel_status",
    "comms_get_messages",
    "comms_get_usage_dashboard",
    "comms_make_call",
    "comms_onboard_customer",
    "comms_ping",
    "comms_provision_channels",
    "comms_register_provider",
    "comms_send_message",
    "comms_send_voice_message",
    "comms_set_agent_limits",
    "comms_set_billing_config",
    "comms_transfer_call",
]
# Numbers that no telephone has; in demo mode the simulated carrier takes what is sent there.
PERSON = "+14155550123"
COLLEAGUE = "+14155550124"
EMAIL = {"to": "ann@example.com", "subject": "Thursday", "html": "<p>hello</p>"}
# What the carrier asks for, and nobody's.
ACCOUNT = {"accountSid": f"AC{'0' * 32}", "authToken": "0" * 32}
# How long a call may take to say the next words.
LISTEN = {"waitSeconds": 20}


@dataclass
class Result:
    """A tool result, whichever version of the package it came from."""

    is_error: bool
    structured: dict | None
    text: str


@dataclass
class Client:
    """An open session, whichever version of the package it came from."""

    server: str
    # A tool's output schema, by its name.
    schemas: dict[str, dict]
    call: Callable[[str, dict], Awaitable[Result]]


# Opens a session: what its user says when asked (`accept`, `decline`, `cancel`; `None`: they cannot be asked), and
# the token that it shows, if any.
Connect = Callable[[str | None, str | None], AbstractAsyncContextManager[Client]]


@dataclass
class Operator:
    """The person who runs the relay, by its command line."""

    programs: Path
    home: str

    def runs(self, *words: str) -> str:
        command = [self.programs / "comms-relay", *words]
        env = os.environ | {"COMMS_HOME": self.home}
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=30).stdout


@dataclass
class Session:
    """An open session whose results are checked."""

    checks: Checks
    client: Client

    async def gives(self, name: str, tool: str, arguments: dict, **wanted: object) -> dict:
        """Calls a tool that must succeed, with these fields among others; gives what it answered."""
        result = await self.client.call(tool, arguments)
        self.checks.that(name, (problem := self._misfit(tool, result, wanted)) is None, problem)
        return result.structured or {}

    async def refuses(self, name: str, tool: str, arguments: dict, code: str) -> dict:
        """Calls a tool that must fail with this code; gives the error."""
        result = await self.client.call(tool, arguments)
        error = json.loads(result.text)["error"] if result.is_error else {}
        self.checks.that(name, error.get("code") == code and result.structured is None, result)
        return error

    def _misfit(self, tool: str, result: Result, wanted: dict) -> object:
        """Strict hosts refuse what does not fit the schema, so it is looked at here whatever the library does."""
        if result.is_error:
            return result.text
        try:
            jsonschema.validate(result.structured, self.client.schemas[tool])
        except jsonschema.ValidationError as error:
            return error.message
        if json.loads(result.text) != result.structured:
            return f"the text says something else: {result.text}"
        return None if wanted.items() <= result.structured.items() else result.structured


async def every_visit(checks: Checks, connect: Connect, operator: Operator, who: str) -> None:
    """`who` keeps what this driver makes apart from what others make at the same relay."""

    async def visit(prefix: str, visitor: Callable, says: str | None = None, token: str | None = None) -> None:
        checks.prefix = f"{who} {prefix}: "
        try:
            async with connect(says, token) as client:
                await visitor(Session(checks, client), operator, f"{who}-{prefix}")
        except Exception as error:  # noqa: BLE001 a driver reports whatever went wrong
            checks.that("session", False, repr(error))

    await visit("silent", cannot_ask)
    await visit("accept", accepts, says="accept")
    await visit("decline", declines, says="decline")
    await visit("cancel", cancels, says="cancel")
    token = json.loads(operator.runs("token", "create", "--admin", "--json"))["token"]
    await visit("admin", is_admin, token=token)


async def cannot_ask(session: Session, operator: Operator, who: str) -> None:
    client = session.client
    session.checks.that("server", client.server == "comms-mcp", client.server)
    session.checks.that("tools", sorted(client.schemas) == TOOLS, sorted(client.schemas))
    await use(session, who)
    for tool, arguments in operations(who):
        error = await session.refuses(f"{tool} is asked for", tool, arguments, "approval_pending")
        operator.runs("approval", "approve", error["approvalId"])
        approved = arguments | {"approvalId": error["approvalId"]}
        await session.gives(f"{tool}, approved", tool, approved)
        await session.refuses(f"{tool}, approved once", tool, approved, "approval_denied")


async def accepts(session: Session, _operator: Operator, who: str) -> None:
    await use(session, who)
    for tool, arguments in operations(who):
        await session.gives(f"{tool}, after a yes", tool, arguments)


async def declines(session: Session, _operator: Operator, _who: str) -> None:
    arguments = {"agentId": "default", "limits": {"maxActionsPerDay": 1}}
    await session.refuses("after a no", "comms_set_agent_limits", arguments, "approval_denied")
    usage = await session.gives("a look at the limits", "comms_get_usage_dashboard", {})
    limits = {limit["name"]: limit["limit"] for limit in usage["limits"]}
    session.checks.that("nothing was changed", limits["maxActionsPerDay"] != "1", limits)


async def cancels(session: Session, operator: Operator, who: str) -> None:
    arguments = {"agentId": "default", "limits": {"maxCallDurationMinutes": 9}}
    tool = "comms_set_agent_limits"
    error = await session.refuses("after no answer", tool, arguments, "approval_pending")
    questions = json.loads(operator.runs("approval", "list", "--json"))
    status = {question["id"]: question["status"] for question in questions}
    session.checks.that("the question stands", status.get(error["approvalId"]) == "pending", status)
    operator.runs("approval", "approve", error["approvalId"])
    approved = arguments | {"approvalId": error["approvalId"]}
    await session.gives("after a late yes", tool, approved, agentId="default")


async def is_admin(session: Session, _operator: Operator, who: str) -> None:
    for tool, arguments in operations(who):
        await session.gives(tool, tool, arguments)
    other = {"agentId": "default"}
    await session.gives("another agent's channels", "comms_get_channel_status", other, agentId="default")


def operations(who: str) -> list[tuple[str, dict]]:
    """Each tool that only an admin may call on their own, in an order that works."""
    agent = {"agentId": who}
    channels = {"capabilities": ["sms", "voice", "whatsapp", "email"], "confirm": True}
    company = {"companyName": "Example Ltd", "contactEmail": "bills@example.com", "capabilities": ["email"]}
    provider = {"provider": "twilio", "credentials": ACCOUNT, "verify": False, "activate": False}
    return [
        ("comms_provision_channels", agent | {"displayName": "A driver"} | channels),
        ("comms_set_agent_limits", agent | {"limits": {"maxActionsPerDay": 77, "maxSpendPerDay": "1.50"}}),
        ("comms_set_billing_config", agent | {"tier": "pro", "markupPercent": 12}),
        ("comms_onboard_customer", {"agentId": f"{who}-customer", "displayName": "A customer"} | company),
        ("comms_register_provider", provider),
        ("comms_deprovision_channels", agent | {"confirm": True}),
    ]


async def use(session: Session, who: str) -> None:
    """Each tool that an agent may call on its own."""
    await session.gives("ping", "comms_ping", {"message": "hello"}, echo="hello", agentId="default", mode="demo")
    sent = await send(session, who)
    wrong = {"to": PERSON, "body": "b", "colour": "red"}
    error = await session.refuses("wrong argument", "comms_send_message", wrong, "invalid_input")
    session.checks.that("the wrong argument is named", "colour" in error.get("message", ""), error)
    read = await session.gives("read", "comms_get_messages", {"direction": "outbound", "limit": 200})
    ids = {message["id"] for message in read["messages"]}
    session.checks.that("what was sent is there", sent <= ids, sent - ids)
    await session.gives("voice message", "comms_send_voice_message", {"to": PERSON, "text": "Hello."})
    await hold_a_call(session, who)
    status = await session.gives("channels", "comms_get_channel_status", {}, agentId="default")
    channels = sorted(channel["channel"] for channel in status["channels"])
    session.checks.that("four channels", channels == ["email", "sms", "voice", "whatsapp"], channels)
    await session.gives("usage", "comms_get_usage_dashboard", {"period": "week"}, agentId="default")
    await session.gives("billing", "comms_get_billing_summary", {"period": "all"}, agentId="default")


async def send(session: Session, who: str) -> set[str]:
    """One message over each channel; gives the ids of those that were written."""
    ids = set()
    for channel, to in {"sms": {"to": PERSON}, "whatsapp": {"to": PERSON}, "email": EMAIL}.items():
        message = to | {"channel": channel, "body": f"hello from {who}", "idempotencyKey": f"{who}-{channel}"}
        sent = await session.gives(channel, "comms_send_message", message, channel=channel)
        again = f"{channel} again with the same key"
        await session.gives(again, "comms_send_message", message, messageId=sent.get("messageId"))
        ids.add(sent.get("messageId"))
    spoken = {"to": PERSON, "channel": "voice", "body": "Hello."}
    await session.gives("voice", "comms_send_message", spoken, channel="voice")
    return ids


async def hold_a_call(session: Session, who: str) -> None:
    wanted = {"to": PERSON, "greeting": "Hello, it is me.", "idempotencyKey": f"{who}-call"}
    placed = await session.gives("place a call", "comms_make_call", wanted, to=PERSON)
    call = {"callSid": placed["callSid"]}
    heard = await session.gives("listen", "comms_get_messages", call | LISTEN)
    words = call | LISTEN | {"turnId": heard["turnId"], "body": "May I put you through?"}
    await session.gives("speak", "comms_send_message", words, spoken=True)
    goal = call | {"to": COLLEAGUE, "announcementText": "One moment please."}
    await session.gives("transfer", "comms_transfer_call", goal, status="transferring", **call)
