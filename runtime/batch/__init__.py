"""Many videos: a manifest of tasks, engines that run them, and a folder of results that resumes."""
