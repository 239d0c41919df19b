//! Clusters on one machine.
