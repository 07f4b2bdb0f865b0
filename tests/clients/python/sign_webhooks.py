"""Posts SMS webhooks that Twilio's own package has signed, right and wrong.

Usage: sign_webhooks.py LISTENER PUBLIC_URL AGENT_ID [TO]

LISTENER is the address that is posted to, such as http://127.0.0.1:3100. PUBLIC_URL is the one that signatures
are over. TWILIO_AUTH_TOKEN in the environment signs them. TO is the agent's number.
"""

import os
import sys
import urllib.error
import urllib.request
import uuid
from urllib.parse import urlencode

from checks import Checks
from twilio.request_validator import RequestValidator


def post(url: str, form: dict[str, str], signature: str | None) -> tuple[int, str]:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    if signature is not None:
        headers["X-Twilio-Signature"] = signature
    request = urllib.request.Request(url, urlencode(form).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def main() -> None:
    listener, public, agent, *rest = sys.argv[1:]
    token = os.environ["TWILIO_AUTH_TOKEN"]
    path = f"/webhooks/{agent}/sms"
    posted_url, signed_url = listener.rstrip("/") + path, public.rstrip("/") + path
    sid = f"SM{uuid.uuid4().hex}"
    form = {
        "MessageSid": sid,
        "SmsSid": sid,
        "AccountSid": f"AC{'0' * 32}",
        "From": "+14155550123",
        "To": rest[0] if rest else "+14155550100",
        "Body": "Grüße, 100% + mehr & so 👋",
        "NumMedia": "0",
        "NumSegments": "1",
        "SmsStatus": "received",
        "ApiVersion": "2010-04-01",
    }
    right = RequestValidator(token).compute_signature(signed_url, form)
    stranger = RequestValidator("not the token").compute_signature(signed_url, form)
    checks = Checks(prefix="webhook: ")

    status, body = post(posted_url, form, right)
    checks.that("signed", status == 200 and "<Response" in body, (status, body))
    replayed = post(posted_url, form, right)
    checks.that("the same again gets the same answer", replayed == (status, body), replayed)
    for name, changed, signature in (
        ("signed by a stranger", form, stranger),
        ("changed after signing", form | {"Body": "changed"}, right),
        ("not signed", form, None),
    ):
        status, body = post(posted_url, changed, signature)
        checks.that(name, status == 403, (status, body))
    checks.exit()


main()
