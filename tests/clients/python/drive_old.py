"""Drives comms-mcp with the `mcp` package as it was before protocol 2026-07-28.

Usage: drive_old.py COMMS_MCP COMMS_HOME
"""

import asyncio
import os
import sys

from checks import Checks, Result, drive
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def visit(checks: Checks, binary: str, home: str) -> None:
    server = StdioServerParameters(command=binary, env=os.environ | {"COMMS_HOME": home})
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        greeting = await session.initialize()

        async def call(tool: str, arguments: dict) -> Result:
            result = await session.call_tool(tool, arguments)
            return Result(bool(result.isError), result.structuredContent, result.content[0].text)

        tools = [tool.name for tool in (await session.list_tools()).tools]
        await drive(checks, greeting.serverInfo.name, tools, call)


async def main() -> None:
    binary, home = sys.argv[1:]
    checks = Checks(prefix="python old: ")
    try:
        await visit(checks, binary, home)
    except Exception as error:  # noqa: BLE001 a driver reports whatever went wrong
        checks.that("session", False, repr(error))
    checks.exit()


asyncio.run(main())
