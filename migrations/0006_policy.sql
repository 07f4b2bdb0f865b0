-- An IANA name; null: the setting's.
ALTER TABLE agents ADD COLUMN time_zone TEXT;
-- Whom the agent may reach; null: the setting's.
ALTER TABLE agents ADD COLUMN recipients TEXT;

ALTER TABLE contacts ADD COLUMN approved_at BIGINT;
-- Whether an address is known is asked without its channel.
CREATE INDEX contacts_by_address ON contacts (agent_id, address);

CREATE TABLE allowed_recipients (
    agent_id   TEXT   NOT NULL,
    address    TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (agent_id, address)
);

CREATE TABLE approvals (
    id           TEXT   PRIMARY KEY,
    agent_id     TEXT   NOT NULL,
    action       TEXT   NOT NULL,
    request_hash TEXT   NOT NULL,
    summary      TEXT   NOT NULL,
    status       TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    decided_at   BIGINT,
    decided_by   TEXT,
    used_at      BIGINT
);

CREATE INDEX approvals_open ON approvals (agent_id, request_hash) WHERE status IN ('pending', 'approved');
-- Nobody changes the status of one that has run out.
CREATE INDEX approvals_by_status ON approvals (status, expires_at);

-- One row: it counts the writes to agents and agent_channels, so that a copy in memory is known to be stale.
CREATE TABLE directory_version (
    id BIGINT PRIMARY KEY,
    n  BIGINT NOT NULL
);

INSERT INTO directory_version (id, n) VALUES (1, 0);
