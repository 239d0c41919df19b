//! The custom resources on the hub and in a cluster, and their way into our own types.
