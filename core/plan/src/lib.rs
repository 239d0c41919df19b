//! The middle language: the complete desired state of a node, and the difference to what is there.
