//! Real binaries, real packets, real API objects.
