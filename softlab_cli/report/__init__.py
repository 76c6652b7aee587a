"""What a person looks at: pictures, facts and tables of stores and of inputs."""
