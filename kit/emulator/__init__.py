"""A RunPod endpoint on this machine: client verbs, worker verbs, and real worker processes behind."""
