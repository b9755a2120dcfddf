"""A write-back buffer for stores that can only put whole objects.

For authors of backends: `Writeback` keeps what was written and not yet put, in files of the state
directory, one for each object, and puts whole objects into your store, which it sees as `Objects`.
Objects are numbered (by inode number, say); a rename is nothing to it.

What it promises:

* `write` keeps data in a local file: that is UNSTABLE. `commit` returns when the store has all that
  was written before it was called. If the store fails, `commit` raises what it raised, the data is
  kept, and is tried again.
* What another process left of an object that is not `wanted` any more is dropped at the start.
* `directory` is one process's: `start` fails while another has it.
* `stop` puts what is left, for a bounded time; what it could not put is there at the next start.
* Objects that nobody commits are put in the background, some seconds after their last write.
* SIGKILL loses nothing: what was answered is found again at the next start, and `verifier` stays.
* After a boot (a power cut, perhaps), `verifier` is another. Local data of before is not trusted:
  where the store has an object, the store's state counts; that is asked before such a one is put
  or written. Objects that the store does not have are kept as far as they are there.
* `verifier` changes only then, and when local data is missing, damaged, or of another table of
  numbers; that is moved to the directory ``lost``.
* At most `buffer_bytes` and `buffer_files` are buffered. At the bound the oldest is put, and the
  writer waits for it; JUKEBOX if the store takes none.
* A put is the store's whole object, so the buffer takes as many bytes as the object has, also if
  few of them were written: what is missing is fetched when it is put. No object is written that is
  larger than `buffer_bytes`: FBIG.
* Objects that change in the store behind our back: bytes that were written here win, others are
  the store's at the time of the put. One that is gone, and was not written whole, is not put, but
  fails: IO.

All methods block, and may be called from any thread.
"""

from backends.writeback.buffer import Objects, Writeback

__all__ = ["Objects", "Writeback"]
