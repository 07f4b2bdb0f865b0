-- Null: no limit of the agent's own.
CREATE TABLE spending_limits (
    agent_id                         TEXT   PRIMARY KEY,
    max_actions_per_minute           BIGINT,
    max_actions_per_hour             BIGINT,
    max_actions_per_day              BIGINT,
    max_spend_per_day_micros         BIGINT,
    max_spend_per_month_micros       BIGINT,
    max_call_duration_minutes        BIGINT,
    max_calls_per_day_to_same_number BIGINT,
    updated_at                       BIGINT NOT NULL
);

CREATE TABLE billing_config (
    agent_id       TEXT   PRIMARY KEY,
    tier           TEXT,
    markup_percent BIGINT NOT NULL,
    billing_email  TEXT,
    updated_at     BIGINT NOT NULL
);

CREATE TABLE usage_counters (
    -- An agent, or '*' for the whole relay.
    agent_id    TEXT   PRIMARY KEY,
    total       BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    day_start   BIGINT NOT NULL,
    day_actions BIGINT NOT NULL,
    -- Amounts in millionths, reserved ones included.
    day_spent   BIGINT NOT NULL,
    month_start BIGINT NOT NULL,
    month_spent BIGINT NOT NULL
);

CREATE TABLE usage_logs (
    -- The id of the message or of the call's session.
    id            TEXT   PRIMARY KEY,
    agent_id      TEXT   NOT NULL,
    -- The agent's count of actions with this one: it tells when the action a number of them back was.
    n             BIGINT NOT NULL,
    kind          TEXT   NOT NULL,
    channel       TEXT   NOT NULL,
    status        TEXT   NOT NULL,
    charge_micros BIGINT NOT NULL,
    currency      TEXT   NOT NULL,
    country       TEXT   NOT NULL,
    quantity      BIGINT NOT NULL,
    at            BIGINT NOT NULL,
    -- The periods that the charge was counted in.
    day_start     BIGINT NOT NULL,
    month_start   BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    UNIQUE (agent_id, n)
);

CREATE INDEX usage_logs_by_agent ON usage_logs (agent_id, at);
CREATE INDEX usage_logs_unsettled ON usage_logs (at) WHERE status IN ('reserved', 'charged');

CREATE TABLE limit_hits (
    agent_id  TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    day_start BIGINT NOT NULL,
    n         BIGINT NOT NULL,
    PRIMARY KEY (agent_id, name, day_start)
);

CREATE INDEX call_logs_to_number ON call_logs (agent_id, to_address, created_at) WHERE direction = 'outbound';
