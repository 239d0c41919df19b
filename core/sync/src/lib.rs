//! What to write and delete on the hub and at home so that both agree.
