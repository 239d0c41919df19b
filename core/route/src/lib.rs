//! From what a node knows to its routes and packet filter.
