//! Open-loop load generator that knows the public wire format only.
