// Drives comms-mcp with the official TypeScript client, in both eras of the protocol.
//
// Usage: drive.mjs COMMS_MCP COMMS_HOME [legacy|auto …]
//
// CLIENTS_NODE_MODULES names the node_modules that setup.sh made.

import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.env.CLIENTS_NODE_MODULES, 'drive.mjs'));
const { Client } = require('@modelcontextprotocol/client');
const { StdioClientTransport } = require('@modelcontextprotocol/client/stdio');

const TOOLS = ['comms_get_messages', 'comms_make_call', 'comms_ping', 'comms_send_message'];
// A number that no telephone has; in demo mode the simulated carrier takes what is sent there.
const RECIPIENT = '+14155550123';

const [binary, home, ...modes] = process.argv.slice(2);
let failed = false;

function check(name, holds, why) {
  failed ||= !holds;
  console.log(holds ? `ok ${name}` : `FAIL ${name} ${JSON.stringify(why)}`);
}

async function visit(mode) {
  const name = (what) => `node ${mode}: ${what}`;
  const client = new Client({ name: 'comms-driver', version: '1' }, { versionNegotiation: { mode } });
  await client.connect(new StdioClientTransport({ command: binary, env: { ...process.env, COMMS_HOME: home } }));
  try {
    check(name('server'), client.getServerVersion()?.name === 'comms-mcp', client.getServerVersion());
    const { tools } = await client.listTools();
    const names = tools.map((tool) => tool.name).sort();
    check(name('tools'), JSON.stringify(names) === JSON.stringify(TOOLS), names);

    const call = (tool, args) => client.callTool({ name: tool, arguments: args });
    const pong = await call('comms_ping', { message: 'hello' });
    check(name('ping'), !pong.isError && pong.structuredContent?.echo === 'hello', pong);

    const message = { to: RECIPIENT, body: `hello from ${mode}`, idempotencyKey: `driver-node-${mode}` };
    const sent = await call('comms_send_message', message);
    const id = sent.structuredContent?.messageId;
    check(name('send'), !sent.isError && Boolean(id), sent);
    const again = await call('comms_send_message', message);
    check(name('send again with the same key'), Boolean(id) && again.structuredContent?.messageId === id, again);

    const wrong = await call('comms_send_message', { to: RECIPIENT, body: 'b', colour: 'red' });
    const error = wrong.isError ? JSON.parse(wrong.content[0].text).error : {};
    const named = error.code === 'invalid_input' && error.message.includes('colour');
    check(name('wrong argument'), named && wrong.structuredContent === undefined, wrong);

    const read = await call('comms_get_messages', { direction: 'outbound' });
    const ids = read.structuredContent?.messages?.map((entry) => entry.id) ?? [];
    check(name('read'), Boolean(id) && ids.includes(id), read);
  } finally {
    await client.close();
  }
}

for (const mode of modes.length ? modes : ['legacy', 'auto']) {
  await visit(mode).catch((error) => check(`node ${mode}: session`, false, String(error)));
}
process.exit(failed ? 1 : 0);
