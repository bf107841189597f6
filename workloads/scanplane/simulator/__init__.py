"""The provider's protocol as a server: plays recorded or made sessions, and misbehaves when told to."""
