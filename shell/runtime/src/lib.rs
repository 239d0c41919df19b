//! The one reconcile loop, tasks, telemetry and the admin endpoints.
