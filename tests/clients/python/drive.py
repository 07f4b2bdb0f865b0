"""Drives comms-mcp with the official `mcp` package, in both eras of the protocol.

Usage: drive.py COMMS_MCP COMMS_HOME [legacy|auto …]
"""

import asyncio
import os
import sys

from checks import Checks, Result, drive
from mcp import Client, StdioServerParameters


async def visit(checks: Checks, binary: str, home: str, mode: str) -> None:
    checks.prefix = f"python {mode}: "
    server = StdioServerParameters(command=binary, env=os.environ | {"COMMS_HOME": home})
    async with Client(server, mode=mode) as client:

        async def call(tool: str, arguments: dict) -> Result:
            result = await client.call_tool(tool, arguments)
            return Result(bool(result.is_error), result.structured_content, result.content[0].text)

        tools = [tool.name for tool in (await client.list_tools()).tools]
        await drive(checks, client.server_info.name, tools, call)


async def main() -> None:
    binary, home, *modes = sys.argv[1:]
    checks = Checks()
    for mode in modes or ("legacy", "auto"):
        try:
            await visit(checks, binary, home, mode)
        except Exception as error:  # noqa: BLE001 a driver reports whatever went wrong
            checks.that("session", False, repr(error))
    checks.exit()


asyncio.run(main())
