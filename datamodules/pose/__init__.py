"""Human pose: MPII and Leeds Sports Pose."""
