"""Backup and restore of what a registry is: experiments and runs, versions, artifacts, the ledger.

    store.py      a directory or an S3 prefix, as named files: what is copied, and where to
    place.py      what lies where backups are kept, and which of them are whole
    databases.py  MLflow's databases: by pg_dump, or sqlite's own copy
    history.py    the ledger: as lines of JSON, and back again in one transaction and a new epoch
    artifacts.py  the files of runs and versions, each kept once by its SHA-256
    export.py     one backup
    restore.py    one restoration
    schedule.py   backups again and again, and how that goes

Called by the commands only. See docs/backup.md, and docs/adr/0025 for why it is as it is.
"""
