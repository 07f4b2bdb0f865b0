"""Drives comms-mcp with the official `mcp` package, in one era of the protocol.

Usage: drive.py PROGRAMS COMMS_HOME legacy|auto
"""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from checks import Checks
from mcp import Client as McpClient
from mcp import StdioServerParameters
from mcp.types import ElicitResult
from visits import Client, Operator, Result, every_visit


async def main() -> None:
    programs, home, mode = sys.argv[1:]
    operator = Operator(Path(programs), home)

    @asynccontextmanager
    async def connect(says: str | None, token: str | None):
        async def answer(_context, _question) -> ElicitResult:
            return ElicitResult(action=says)

        env = os.environ | {"COMMS_HOME": home} | ({"COMMS_TOKEN": token} if token else {})
        server = StdioServerParameters(command=str(operator.programs / "comms-mcp"), env=env)
        async with McpClient(server, mode=mode, elicitation_callback=answer if says else None) as client:

            async def call(tool: str, arguments: dict) -> Result:
                result = await client.call_tool(tool, arguments)
                return Result(bool(result.is_error), result.structured_content, result.content[0].text)

            tools = (await client.list_tools()).tools
            yield Client(client.server_info.name, {tool.name: tool.output_schema for tool in tools}, call)

    checks = Checks()
    await every_visit(checks, connect, operator, f"python-{mode}")
    checks.exit()


asyncio.run(main())
