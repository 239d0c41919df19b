//! The vocabulary: cluster ids, CIDR sets, interface names, tables.
