//! From what the gateway knows to the cables that it wants.
