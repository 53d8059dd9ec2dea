"""The command `detect-serve`: a service on this machine that finds objects in the photos that are sent to it.

`command` has its options. `app` has the addresses that it answers, `upload` reads the photos that are sent,
`detection_queue` scores those of several requests together, and `server` listens and stops.
"""
