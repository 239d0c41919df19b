//! The protocol's constants of time and number.

use std::time::Duration;

/// An initiator renews a session that is older than this when it sends.
pub(crate) const REKEY_AFTER_TIME: Duration = Duration::from_mins(2);
/// No session is used beyond this age.
pub(crate) const REJECT_AFTER_TIME: Duration = Duration::from_mins(3);
/// How long an initiation waits for its response.
pub(crate) const REKEY_TIMEOUT: Duration = Duration::from_secs(5);
/// At most this much is added to [`REKEY_TIMEOUT`], so that two peers do not stay in step.
pub(crate) const MAX_JITTER: Duration = Duration::from_millis(333);
/// How long a handshake is tried.
pub(crate) const REKEY_ATTEMPT_TIME: Duration = Duration::from_secs(90);
/// A peer that sends data hears something within this time.
pub(crate) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A session with so many packets is renewed.
pub(crate) const REKEY_AFTER_MESSAGES: u64 = 1 << 60;
/// A session never has more packets than this.
pub(crate) const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);
/// How long a cookie and the secret behind it are good.
pub(crate) const COOKIE_LIFETIME: Duration = Duration::from_mins(2);
/// How long a cookie may have been under way.
pub(crate) const COOKIE_LATENCY: Duration = Duration::from_secs(5);
/// One peer's initiations are answered no faster than this.
pub(crate) const INITIATION_INTERVAL: Duration = Duration::from_millis(20);
