"""Drives comms-mcp with the `mcp` package as it was before protocol 2026-07-28.

Usage: drive_old.py PROGRAMS COMMS_HOME
"""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from checks import Checks
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import ElicitResult
from visits import Client, Operator, Result, every_visit


async def main() -> None:
    programs, home = sys.argv[1:]
    operator = Operator(Path(programs), home)

    @asynccontextmanager
    async def connect(says: str | None, token: str | None):
        async def answer(_context, _question) -> ElicitResult:
            return ElicitResult(action=says)

        env = os.environ | {"COMMS_HOME": home} | ({"COMMS_TOKEN": token} if token else {})
        server = StdioServerParameters(command=str(operator.programs / "comms-mcp"), env=env)
        asked = answer if says else None
        async with stdio_client(server) as pipes, ClientSession(*pipes, elicitation_callback=asked) as session:
            greeting = await session.initialize()

            async def call(tool: str, arguments: dict) -> Result:
                result = await session.call_tool(tool, arguments)
                return Result(bool(result.isError), result.structuredContent, result.content[0].text)

            tools = (await session.list_tools()).tools
            yield Client(greeting.serverInfo.name, {tool.name: tool.outputSchema for tool in tools}, call)

    checks = Checks()
    await every_visit(checks, connect, operator, "python-old")
    checks.exit()


asyncio.run(main())
