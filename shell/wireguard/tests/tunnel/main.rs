//! Engines over real devices and sockets, each test between network namespaces of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its ground is missing")]

mod carrying;
mod ground;
mod hostile;
mod lifecycle;
