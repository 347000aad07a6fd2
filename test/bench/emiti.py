"""Backs up as Emiti does: the whole plain dump in memory, gzip 9, one Fernet token. ENCRYPTION_KEY=… emiti.py OUT"""

import gzip
import os
import subprocess
import sys

from cryptography.fernet import Fernet

dump = subprocess.run(["pg_dump", "--no-owner", "--no-acl"], stdout=subprocess.PIPE, check=True).stdout
token = Fernet(os.environ["ENCRYPTION_KEY"]).encrypt(gzip.compress(dump, compresslevel=9))
with open(sys.argv[1], "wb") as file:
    file.write(token)
