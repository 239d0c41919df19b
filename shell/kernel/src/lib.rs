//! The Linux kernel as a world to observe and to change: netlink and sysctl files.
