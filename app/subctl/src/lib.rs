//! The command line of a person who runs a clusterset.
