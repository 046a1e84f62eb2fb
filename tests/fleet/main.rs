//! A fleet on a real nats-server.
