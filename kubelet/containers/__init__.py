"""One container: how it gets its image, configuration and files, how it starts, and what it leaves behind.

``starter`` takes the steps: ``image_manager`` has the image pulled, ``run_options`` looks up what the spec refers to
(``environment``, ``etc_files``, volumes, profiles), then the container is created and started. ``hooks`` run after its start
and before its end; ``termination_message`` reads what it wrote at last.
"""
