//! Network namespaces, wires and pods: the ground of the playground and of the tests.
