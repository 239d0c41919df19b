//! The Kubernetes API: watches in, server-side apply out.
