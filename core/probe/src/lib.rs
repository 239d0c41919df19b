//! Sans-I/O protocol cores: liveness probes and leases.
