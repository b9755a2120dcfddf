"""The stock Linux NFS client, in User Mode Linux, driven by pytest."""
