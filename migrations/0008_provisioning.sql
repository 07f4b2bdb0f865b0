CREATE TABLE agent_pool (
    agent_id   TEXT   PRIMARY KEY,
    status     TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE number_purchases (
    id          TEXT   PRIMARY KEY,
    agent_id    TEXT   NOT NULL,
    number      TEXT,
    provider    TEXT   NOT NULL,
    status      TEXT   NOT NULL,
    external_id TEXT,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

CREATE TABLE whatsapp_pool (
    address     TEXT   PRIMARY KEY,
    provider    TEXT   NOT NULL,
    agent_id    TEXT,
    assigned_at BIGINT
);

CREATE TABLE provider_credentials (
    provider   TEXT    PRIMARY KEY,
    version    BIGINT  NOT NULL,
    key_id     TEXT    NOT NULL,
    nonce      TEXT    NOT NULL,
    -- Encrypted; nothing here can be read without the relay's key.
    sealed     TEXT    NOT NULL,
    account    TEXT,
    active     BOOLEAN NOT NULL,
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL
);
