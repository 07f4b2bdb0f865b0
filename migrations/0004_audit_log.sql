CREATE TABLE audit_log (
    seq   BIGINT PRIMARY KEY,
    at    BIGINT NOT NULL,
    entry TEXT   NOT NULL,
    hash  TEXT   NOT NULL
);

-- One row: its lock makes appends follow one another, and it holds what the next entry is chained to.
CREATE TABLE audit_head (
    id   BIGINT PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash TEXT   NOT NULL
);

INSERT INTO audit_head (id, seq, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
