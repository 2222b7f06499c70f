"""`bayplan dashboard`: a page, served on this machine, that shows a cluster and changes nothing."""
