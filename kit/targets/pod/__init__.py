"""Run jobs on a pod (any machine with a Jupyter server), the model warm there between edits."""
