-- What only few messages have.
CREATE TABLE message_extras (
    message_id    TEXT PRIMARY KEY,
    html          TEXT,
    reply_to      TEXT,
    template_id   TEXT,
    template_vars TEXT NOT NULL,
    attachments   TEXT NOT NULL
);

CREATE TABLE scheduled_messages (
    message_id TEXT   PRIMARY KEY,
    send_at    BIGINT NOT NULL
);

CREATE INDEX scheduled_messages_by_time ON scheduled_messages (send_at);

-- What a call that only delivers a text says, and the message that it delivers.
ALTER TABLE call_logs ADD COLUMN say TEXT;
ALTER TABLE call_logs ADD COLUMN message_id TEXT;
