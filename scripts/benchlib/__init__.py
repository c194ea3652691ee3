"""What scripts/bench is made of: host (disks, clean-up), systems, data, load (what is timed), parts, report."""
