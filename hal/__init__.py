"""One FXS port as Python sees it: values, the Line protocol, drivers, signal processing."""
