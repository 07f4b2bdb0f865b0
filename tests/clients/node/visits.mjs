// The visits that the TypeScript driver pays to comms-mcp: which tools are called, and what each result must be.
//
// `visits.py` is the same for the other client library.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const TOOLS = [
  'comms_deprovision_channels',
  'comms_get_billing_summary',
  'comms_get_channel_status',
  'comms_get_messages',
  'comms_get_usage_dashboard',
  'comms_make_call',
  'comms_onboard_customer',
  'comms_ping',
  'comms_provision_channels',
  'comms_register_provider',
  'comms_send_message',
  'comms_send_voice_message',
  'comms_set_agent_limits',
  'comms_set_billing_config',
  'comms_transfer_call',
];
// Numbers that no telephone has; in demo mode the simulated carrier takes what is sent there.
const PERSON = '+14155550123';
const COLLEAGUE = '+14155550124';
const EMAIL = { to: 'ann@example.com', subject: 'Thursday', html: '<p>hello</p>' };
// What the carrier asks for, and nobody's.
const ACCOUNT = { accountSid: `AC${'0'.repeat(32)}`, authToken: '0'.repeat(32) };
// How long a call may take to say the next words.
const LISTEN = { waitSeconds: 20 };

// Prints `ok NAME` or `FAIL NAME why`, and remembers whether anything failed.
export class Checks {
  prefix = '';
  failed = false;

  that(name, holds, why) {
    this.failed ||= !holds;
    console.log(holds ? `ok ${this.prefix}${name}` : `FAIL ${this.prefix}${name} ${JSON.stringify(why)}`);
  }
}

// The person who runs the relay, by its command line.
export class Operator {
  constructor(programs, home) {
    Object.assign(this, { programs, home });
  }

  runs(...words) {
    const env = { ...process.env, COMMS_HOME: this.home };
    return execFileSync(join(this.programs, 'comms-relay'), words, { env, encoding: 'utf8', timeout: 30_000 });
  }
}

// An open session whose results are checked.
class Session {
  constructor(checks, client) {
    Object.assign(this, { checks, client });
  }

  // Calls a tool that must succeed, with these fields among others; gives what it answered. The library throws at a
  // result that does not fit the tool's output schema.
  async gives(name, tool, args, wanted = {}) {
    const result = await this.client.callTool({ name: tool, arguments: args });
    const fits = !result.isError && Object.keys(wanted).every((key) => result.structuredContent[key] === wanted[key]);
    this.checks.that(name, fits, result);
    return result.structuredContent ?? {};
  }

  // Calls a tool that must fail with this code; gives the error.
  async refuses(name, tool, args, code) {
    const result = await this.client.callTool({ name: tool, arguments: args });
    const error = result.isError ? JSON.parse(result.content[0].text).error : {};
    this.checks.that(name, error.code === code && result.structuredContent === undefined, result);
    return error;
  }
}

// `who` keeps what this driver makes apart from what others make at the same relay. `connect({ says, token })` opens a
// session: what its user says when asked (`accept`, `decline`, `cancel`; none: they cannot be asked), and the token
// that it shows, if any.
export async function everyVisit(checks, connect, operator, who) {
  const visit = async (prefix, visitor, options = {}) => {
    checks.prefix = `${who} ${prefix}: `;
    try {
      const client = await connect(options);
      await visitor(new Session(checks, client), operator, `${who}-${prefix}`).finally(() => client.close());
    } catch (error) {
      checks.that('session', false, String(error));
    }
  };
  await visit('silent', cannotAsk);
  await visit('accept', accepts, { says: 'accept' });
  await visit('decline', declines, { says: 'decline' });
  await visit('cancel', cancels, { says: 'cancel' });
  const { token } = JSON.parse(operator.runs('token', 'create', '--admin', '--json'));
  await visit('admin', isAdmin, { token });
}

async function cannotAsk(session, operator, who) {
  const { checks, client } = session;
  checks.that('server', client.getServerVersion()?.name === 'comms-mcp', client.getServerVersion());
  const { tools } = await client.listTools();
  const names = tools.map((tool) => tool.name).sort();
  checks.that('tools', JSON.stringify(names) === JSON.stringify(TOOLS), names);
  checks.that('the library looks at the schemas', await misfitIsRefused(client, tools), 'it does not');
  await use(session, who);
  for (const [tool, args] of operations(who)) {
    const { approvalId } = await session.refuses(`${tool} is asked for`, tool, args, 'approval_pending');
    operator.runs('approval', 'approve', approvalId);
    await session.gives(`${tool}, approved`, tool, { ...args, approvalId });
    await session.refuses(`${tool}, approved once`, tool, { ...args, approvalId }, 'approval_denied');
  }
}

// Without this, nobody would know that the other checks of a session say anything about the schemas.
async function misfitIsRefused(client, tools) {
  const ping = tools.find((tool) => tool.name === 'comms_ping');
  const stricter = { ...ping, outputSchema: { type: 'object', required: ['noSuchField'] } };
  const call = client.callTool({ name: 'comms_ping', arguments: { message: 'm' } }, { toolDefinition: stricter });
  return call.then(() => false, (error) => String(error).includes('noSuchField'));
}

async function accepts(session, _operator, who) {
  await use(session, who);
  for (const [tool, args] of operations(who)) await session.gives(`${tool}, after a yes`, tool, args);
}

async function declines(session) {
  const args = { agentId: 'default', limits: { maxActionsPerDay: 1 } };
  await session.refuses('after a no', 'comms_set_agent_limits', args, 'approval_denied');
  const usage = await session.gives('a look at the limits', 'comms_get_usage_dashboard', {});
  const perDay = usage.limits.find((limit) => limit.name === 'maxActionsPerDay');
  session.checks.that('nothing was changed', perDay !== undefined && perDay.limit !== '1', usage.limits);
}

async function cancels(session, operator) {
  const args = { agentId: 'default', limits: { maxCallDurationMinutes: 9 } };
  const tool = 'comms_set_agent_limits';
  const { approvalId } = await session.refuses('after no answer', tool, args, 'approval_pending');
  const questions = JSON.parse(operator.runs('approval', 'list', '--json'));
  const question = questions.find(({ id }) => id === approvalId);
  session.checks.that('the question stands', question?.status === 'pending', questions);
  operator.runs('approval', 'approve', approvalId);
  await session.gives('after a late yes', tool, { ...args, approvalId }, { agentId: 'default' });
}

async function isAdmin(session, _operator, who) {
  for (const [tool, args] of operations(who)) await session.gives(tool, tool, args);
  const other = { agentId: 'default' };
  await session.gives("another agent's channels", 'comms_get_channel_status', other, other);
}

// Each tool that only an admin may call on their own, in an order that works.
function operations(who) {
  const agentId = who;
  const channels = { displayName: 'A driver', capabilities: ['sms', 'voice', 'whatsapp', 'email'], confirm: true };
  const company = { companyName: 'Example Ltd', contactEmail: 'bills@example.com', capabilities: ['email'] };
  const provider = { provider: 'twilio', credentials: ACCOUNT, verify: false, activate: false };
  return [
    ['comms_provision_channels', { agentId, ...channels }],
    ['comms_set_agent_limits', { agentId, limits: { maxActionsPerDay: 77, maxSpendPerDay: '1.50' } }],
    ['comms_set_billing_config', { agentId, tier: 'pro', markupPercent: 12 }],
    ['comms_onboard_customer', { agentId: `${who}-customer`, displayName: 'A customer', ...company }],
    ['comms_register_provider', provider],
    ['comms_deprovision_channels', { agentId, confirm: true }],
  ];
}

// Each tool that an agent may call on its own.
async function use(session, who) {
  const { checks } = session;
  await session.gives('ping', 'comms_ping', { message: 'hello' }, { echo: 'hello', agentId: 'default', mode: 'demo' });
  const sent = await send(session, who);
  const wrong = { to: PERSON, body: 'b', colour: 'red' };
  const error = await session.refuses('wrong argument', 'comms_send_message', wrong, 'invalid_input');
  checks.that('the wrong argument is named', error.message?.includes('colour'), error);
  const read = await session.gives('read', 'comms_get_messages', { direction: 'outbound', limit: 200 });
  const ids = read.messages.map((message) => message.id);
  checks.that('what was sent is there', sent.every((id) => ids.includes(id)), { sent, ids });
  await session.gives('voice message', 'comms_send_voice_message', { to: PERSON, text: 'Hello.' });
  await holdACall(session, who);
  const status = await session.gives('channels', 'comms_get_channel_status', {}, { agentId: 'default' });
  const channels = status.channels.map((channel) => channel.channel).sort().join();
  checks.that('four channels', channels === 'email,sms,voice,whatsapp', channels);
  await session.gives('usage', 'comms_get_usage_dashboard', { period: 'week' }, { agentId: 'default' });
  await session.gives('billing', 'comms_get_billing_summary', { period: 'all' }, { agentId: 'default' });
}

// One message over each channel; gives the ids of those that were written.
async function send(session, who) {
  const ids = [];
  for (const [channel, to] of Object.entries({ sms: { to: PERSON }, whatsapp: { to: PERSON }, email: EMAIL })) {
    const message = { ...to, channel, body: `hello from ${who}`, idempotencyKey: `${who}-${channel}` };
    const { messageId } = await session.gives(channel, 'comms_send_message', message, { channel });
    await session.gives(`${channel} again with the same key`, 'comms_send_message', message, { messageId });
    ids.push(messageId);
  }
  const spoken = { to: PERSON, channel: 'voice', body: 'Hello.' };
  await session.gives('voice', 'comms_send_message', spoken, { channel: 'voice' });
  return ids;
}

async function holdACall(session, who) {
  const wanted = { to: PERSON, greeting: 'Hello, it is me.', idempotencyKey: `${who}-call` };
  const { callSid } = await session.gives('place a call', 'comms_make_call', wanted, { to: PERSON });
  const { turnId } = await session.gives('listen', 'comms_get_messages', { callSid, ...LISTEN });
  const words = { callSid, turnId, body: 'May I put you through?', ...LISTEN };
  await session.gives('speak', 'comms_send_message', words, { spoken: true });
  const goal = { callSid, to: COLLEAGUE, announcementText: 'One moment please.' };
  await session.gives('transfer', 'comms_transfer_call', goal, { status: 'transferring', callSid });
}
