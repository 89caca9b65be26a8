"""Builds images: kernel, initramfs and root from Debian's packages and wheels, always the same."""
