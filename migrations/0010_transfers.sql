CREATE TABLE call_transfers (
    -- Also the id of what is reserved for it.
    id           TEXT   PRIMARY KEY,
    session_id   TEXT   NOT NULL,
    agent_id     TEXT   NOT NULL,
    to_address   TEXT   NOT NULL,
    announcement TEXT   NOT NULL,
    status       TEXT   NOT NULL,
    created_at   BIGINT NOT NULL
);

CREATE INDEX call_transfers_by_session ON call_transfers (session_id, created_at);
CREATE INDEX call_transfers_to_number ON call_transfers (agent_id, to_address, created_at);
