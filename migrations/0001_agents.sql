CREATE TABLE agents (
    id            TEXT   PRIMARY KEY,
    name          TEXT   NOT NULL,
    greeting      TEXT,
    system_prompt TEXT,
    voice         TEXT,
    language      TEXT,
    responder     TEXT   NOT NULL,
    status        TEXT   NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE agent_channels (
    agent_id   TEXT   NOT NULL,
    channel    TEXT   NOT NULL,
    address    TEXT   NOT NULL,
    provider   TEXT   NOT NULL,
    status     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (agent_id, channel),
    UNIQUE (channel, address)
);

CREATE TABLE agent_tokens (
    id           TEXT   PRIMARY KEY,
    agent_id     TEXT   NOT NULL,
    role         TEXT   NOT NULL,
    -- Hexadecimal SHA-256 of the token, which itself is stored nowhere.
    hash         TEXT   NOT NULL UNIQUE,
    label        TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_used_at BIGINT
);
