// Drives comms-mcp with the official TypeScript client, in one era of the protocol.
//
// Usage: drive.mjs PROGRAMS COMMS_HOME legacy|auto
//
// CLIENTS_NODE_MODULES names the node_modules that setup.sh made.

import { createRequire } from 'node:module';
import { join } from 'node:path';

import { Checks, Operator, everyVisit } from './visits.mjs';

const require = createRequire(join(process.env.CLIENTS_NODE_MODULES, 'drive.mjs'));
const { Client } = require('@modelcontextprotocol/client');
const { StdioClientTransport } = require('@modelcontextprotocol/client/stdio');

const [programs, home, mode] = process.argv.slice(2);

async function connect({ says, token }) {
  const capabilities = says ? { elicitation: { form: {} } } : {};
  const client = new Client({ name: 'comms-driver', version: '1' }, { capabilities, versionNegotiation: { mode } });
  if (says) client.setRequestHandler('elicitation/create', async () => ({ action: says }));
  const env = { ...process.env, COMMS_HOME: home, ...(token && { COMMS_TOKEN: token }) };
  await client.connect(new StdioClientTransport({ command: join(programs, 'comms-mcp'), env }));
  // The library knows the output schemas from here on, and holds every result against them.
  await client.listTools();
  return client;
}

const checks = new Checks();
await everyVisit(checks, connect, new Operator(programs, home), `node-${mode}`);
process.exit(checks.failed ? 1 : 0);
